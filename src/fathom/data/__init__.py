"""Images in, batches out. In reading order: decode, sources, layout, catalog, builtin, split,
views, load, augment, batches."""
