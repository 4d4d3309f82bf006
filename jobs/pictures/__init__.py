"""Pictures for people: sheets of images and charts, as PNG bytes that depend on the data alone."""
