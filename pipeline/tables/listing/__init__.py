"""Which files a table is made of: in a folder, by a glob, on the hub, among millions."""
