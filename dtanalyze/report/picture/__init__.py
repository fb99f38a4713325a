"""The address space as a picture: `scene` is the picture as data; `terminal`, `svg` and `html` draw it."""
