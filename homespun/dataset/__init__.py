"""The dataset: documents become ids in memory-mapped shards, two splits, and batches.

`splits` divides the text into a training and a validation split, `pipeline` turns text into ids, `shards` stores
them, `preparation` combines the three, and `batches` draws examples in the order that `shuffle` gives; `placement`
puts them together on the device that trains on them. `doctor` checks a text for problems before all of that.
"""
