"""Ray: sessions, nodes, and the sizes of actor pools."""
