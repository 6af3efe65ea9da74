"""Upper bounds: servers and loops that do only the part of the work that no room server can leave out."""
