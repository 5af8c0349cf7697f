"""What the commands print: tables, pictures of attention, live progress."""
