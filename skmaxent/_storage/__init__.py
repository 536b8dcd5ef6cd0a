"""How rows are stored and read: in memory, in Dask chunks, on a device."""
