"""Tokenizers: text to ids and back.

Every kind of tokenizer is one `tokenizer.json`, the format of the `tokenizers`
library, so that `transformers.AutoTokenizer` opens saved tokenizers without any
code of homespun. Read the files in this order: tokenizer (what all kinds share),
char, byte, bpe, gpt2, sentencepiece; then words and joined (fast encoding of long
texts), stream (ids to whole characters, one at a time), json_file (checks of a file
from elsewhere), chat_template (a conversation in the format of an instruct model),
choose, make, open.

>>> from homespun.tokenizer.make import build
>>> hello = build("char", alphabet={"h": 1, "e": 1, "l": 2, "o": 1}, documents=1, pieces=lambda: iter(["hello"]))
>>> hello.encode("hello"), hello.decode([1, 0, 2, 2, 3])
([1, 0, 2, 2, 3], 'hello')
"""
