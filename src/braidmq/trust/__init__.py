"""Who belongs to a net, and how that is proved: the authority, certificates, the manifest and join files."""
