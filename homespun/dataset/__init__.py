"""The dataset: documents become ids in memory-mapped shards, two splits, and batches.

`splits` decides what is learnt from, `pipeline` turns text into ids, `shards`
keeps them, `preparation` puts the three together, and `batches` takes examples
out again, in the order that `shuffle` gives. `doctor` says what is wrong with a text before all of that.
"""
