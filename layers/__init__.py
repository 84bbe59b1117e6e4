"""How the town is drawn: map layers, tiles, clusters, heat, stand-alone maps, and the source of the wall."""
