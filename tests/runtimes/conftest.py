"""Small networks want no more than one thread."""

from __future__ import annotations

import torch

# On busy cores a second thread costs more waiting than it saves work.
torch.set_num_threads(1)
