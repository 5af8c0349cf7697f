"""Text to ids and back.

Every kind of tokenizer is one `tokenizer.json`, the format of the `tokenizers`
library, so that `transformers.AutoTokenizer` opens what we save with no code of
ours. Read the files in this order: tokenizer (what all kinds share), char, byte,
bpe, gpt2, sentencepiece; then words and joined (long texts, quickly), stream (ids to
whole characters as they come), json_file (what may be wrong with a file from
elsewhere), chat_template (a talk as an instruct model wants it), choose, make, open.

>>> from homespun.tokenizer.make import build
>>> hello = build("char", alphabet={"h": 1, "e": 1, "l": 2, "o": 1}, documents=1, pieces=lambda: iter(["hello"]))
>>> hello.encode("hello"), hello.decode([1, 0, 2, 2, 3])
([1, 0, 2, 2, 3], 'hello')
"""
