"""Anchors: prior sizes per detection level, clustered from a data set's boxes or published.

Knows sizes in network pixels only; boxes, views and data sets stand above.
"""
