"""Annotation formats, one a file: each reads to, and some write from, `AnnotationSet`."""
