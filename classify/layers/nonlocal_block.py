"""Non-local block, embedded Gaussian (Wang et al., arXiv 1711.07971)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class NonLocalBlock3d(nn.Module):
    """z = W softmax(theta(x)^T phi(x)) g(x) + x over all positions of space and time (eqs. 1, 4, 6;
    the hand-gesture thesis, eqs. 4.3 to 4.7). (B, C, T, H, W) to the same.

    The embeddings halve the channels. W starts at zero, so that a trained network with a new block
    is at first the network without it; the other three do not, or nothing would ever learn.
    scale: divide the products by the root of their length, as attention does and the public
    Kinetics weights expect. subsample: phi and g see a 1x2x2 max-pool of x (section 3.3 of the
    paper), a quarter of the cost; maps need two pixels a side then. batch_norm: after W, and it is
    then the norm's gain that starts at zero (section 4.1).
    """

    def __init__(
        self,
        channels: int,
        *,
        scale: bool = False,
        subsample: bool = False,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        inner = max(1, channels // 2)
        self.theta = nn.Conv3d(channels, inner, 1)
        self.phi = nn.Conv3d(channels, inner, 1)
        self.g = nn.Conv3d(channels, inner, 1)
        self.out = nn.Conv3d(inner, channels, 1)
        self.bn = nn.BatchNorm3d(channels) if batch_norm else nn.Identity()
        self.pool = nn.MaxPool3d((1, 2, 2)) if subsample else nn.Identity()
        self.scale = inner**-0.5 if scale else 1.0
        last = self.bn if batch_norm else self.out
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(x)
        query, key, value = (
            layer(source).flatten(2).transpose(1, 2)  # (B, positions, C/2)
            for layer, source in ((self.theta, x), (self.phi, pooled), (self.g, pooled))
        )
        y = scaled_dot_product_attention(query, key, value, scale=self.scale)
        y = y.transpose(1, 2).unflatten(2, x.shape[2:])
        return self.bn(self.out(y)) + x
