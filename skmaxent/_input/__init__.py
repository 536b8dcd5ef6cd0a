"""What users write, as plain arrays: data, labels, weights, frames, penalty terms."""
