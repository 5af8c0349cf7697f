"""The addresses: what each takes and gives. What is done for them is in the other files of the room."""
