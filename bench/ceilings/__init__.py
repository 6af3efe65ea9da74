"""What the libraries and the machine allow: servers and loops that do nothing but the part that cannot be left out."""
