"""Judging features: are two pictures of one person, and of whom is a picture.

Files of the LFW protocol (`lfw`), pairs for any folder (`drawing`), verification by pairs
(`pairs`), and identification by nearest neighbours (`neighbours`). All of it is numpy.
"""
