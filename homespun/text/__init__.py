"""Any text, from anywhere, as documents: files, folders, repositories, archives, tables, books, pages, names.

>>> import pathlib, tempfile
>>> from homespun.text.sources import read
>>> path = pathlib.Path(tempfile.mkdtemp(), "book.txt")
>>> _ = path.write_text("Once upon a time.")
>>> corpus = read(path)
>>> corpus.name, corpus.survey().characters, [document.read() for document in corpus.documents()]
('book', 17, ['Once upon a time.'])
"""
