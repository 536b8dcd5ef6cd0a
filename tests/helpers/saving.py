"""Functions that save an object, load it and return the copy."""

import io
import pickle

import joblib


def by_pickle(value):
    return pickle.loads(pickle.dumps(value))


def by_joblib(value):
    file = io.BytesIO()
    joblib.dump(value, file)
    file.seek(0)
    return joblib.load(file)
