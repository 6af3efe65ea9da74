"""The measurements, one file each; the letters are those of bench/README.md."""
