"""Face recognition: pictures prepared for training, and models judged; a `python -m convnet faces`.

Training itself is that of every net; the providers of faces are in data_providers.
"""
