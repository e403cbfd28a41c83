"""Products that begin with few features of a layer's inputs, as SVD, spatial SVD and Tucker do."""

from collections.abc import Sequence

import torch
from torch import Tensor

from compression.factorization.decomposition import Decomposition
from compression.factorization.output_fit import OutputRegression, input_basis, output_energy


class InputFeatures(Decomposition):
    """Of a window's a sides R combinations, seen b times each; all else is least squares.

    The last number of a rank is R; a first one of two is how many outputs the features have before
    they are mixed to those of the layer.
    """

    fits_ranks = True

    @staticmethod
    def split_kernel(kernel: Tensor) -> Tensor:
        """The kernel as G x O x a x b."""
        raise NotImplementedError

    @staticmethod
    def weights(basis: Tensor, regression: OutputRegression, rank: Sequence[int]) -> list[Tensor]:
        """The weights of the product's layers in order, but for a reshape.

        Args:
            basis: G x R x a, the features.
            regression: of the outputs on them.
            rank: of the product.
        """
        raise NotImplementedError

    @classmethod
    def fitted_factors(
        cls, kernel: Tensor, rank: Sequence[int], covariance: Tensor, factors: Sequence[Tensor]
    ) -> list[Tensor]:
        """Least squares on the features that the inputs speak for, or on those of `factors`."""
        split = cls.split_kernel(kernel)
        basis, _ = input_basis(split, covariance, rank[-1])
        found = OutputRegression(split, covariance, basis)
        if split.shape[-1] > 1:  # else the features are the best there are
            own = torch.linalg.qr(factors[0].reshape(basis.shape).mT).Q.mT
            other = OutputRegression(split, covariance, own)
            if _kept(other, [rank]) > _kept(found, [rank]):
                basis, found = own, other
        return cls.weights(basis, found, rank)

    @classmethod
    def output_spectra(cls, kernel: Tensor, covariance: Tensor) -> list[Tensor]:
        """One for each number of a rank: of the outputs and of the features, or of these alone."""
        split = cls.split_kernel(kernel)
        features = min(split.shape[2], kernel.shape[1] * split.shape[3])
        spectra = [input_basis(split, covariance, features)[1].sqrt()]
        if len(cls.unfoldings(kernel)) > 1:
            weights = kernel.flatten(2)
            energy = torch.linalg.eigvalsh(weights @ covariance @ weights.mT)
            spectra.insert(0, energy.flip(-1).clamp(min=0).sqrt())
        return spectra

    @classmethod
    def output_errors(
        cls, kernel: Tensor, covariance: Tensor, ranks: Sequence[Sequence[int]]
    ) -> list[float]:
        """Of one regression on all features, whose first ones are those of each rank."""
        split = cls.split_kernel(kernel)
        energy = float(output_energy(kernel, covariance).sum())
        if not energy:
            return [0.0] * len(ranks)
        basis, _ = input_basis(split, covariance, max(rank[-1] for rank in ranks))
        regression = OutputRegression(split, covariance, basis)
        return [max(0.0, 1 - kept / energy) for kept in _kept(regression, ranks)]


def _kept(regression: OutputRegression, ranks: Sequence[Sequence[int]]) -> list[float]:
    """The output energy of products of these ranks, on the first features."""
    values: dict[int, Tensor] = {}  # output energy by direction, of all groups
    for *modes, features in ranks:
        if features not in values:
            explained = regression.explained(features)
            values[features] = (
                torch.linalg.eigvalsh(explained).flip(-1).clamp(min=0).sum(0)
                if modes
                else explained.diagonal(dim1=1, dim2=2).sum(0)
            )
    return [float(values[rank[-1]][: (*rank[:-1], None)[0]].sum()) for rank in ranks]
