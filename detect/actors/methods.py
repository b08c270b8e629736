"""Names of the associations, light to import; the default first."""

METHODS = ("cbiou", "bytetrack", "tubes")
