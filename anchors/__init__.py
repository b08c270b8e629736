"""Anchors: prior sizes per detection level, clustered from a data set's boxes or published.

Sizes are in network pixels; boxes, views and data sets are unknown here.
"""
