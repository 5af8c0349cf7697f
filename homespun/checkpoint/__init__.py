"""The model folder on disk: a Hugging Face folder, written whole or not at all, read with suspicion.

The ladder: `atomic` writes files, `tensors` writes and reads numbers, `fields` reads settings,
`hf_names` translates, `place` examines a path, `weights` holds the numbers against the config,
and `folder` puts them together.
"""
