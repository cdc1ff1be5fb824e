"""Load the users of an export into the stores, below every event of the same ``updated_at``.

The command cuts the export into slices, objects in the archive's bucket, and sends a task for each to a queue per
store. The backfill function reads a slice and invokes the store's sync function with it, which alone reaches the store.
Loading a slice again does no harm, so the only state is the results of the slices.
"""
