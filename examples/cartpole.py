"""Many simulations at once: gymnasium's CartPole in a pool of process actors.

A message is a policy; an answer is what its poles went through, an array, which comes through
shared memory. The processes keep their environments from one policy to the next, and whichever
is idle takes the next policy.
"""

import gymnasium
import numpy as np
from tqdm import tqdm

from futures_actors import ProcessActor

ENVIRONMENTS = 64  # in each actor
POLICIES = 40


class Simulator(ProcessActor):
    """Tries linear policies: four weights in, the states of its poles at each step out."""

    def __init__(self, seed):
        self.environments = gymnasium.make_vec("CartPole-v1", ENVIRONMENTS, "vector_entry_point")
        self.seed = seed

    def handle(self, message):
        states, _ = self.environments.reset(seed=self.seed)
        standing = np.ones(ENVIRONMENTS, bool)
        seen = []
        while standing.any():
            seen.append(np.where(standing[:, None], states, np.nan))
            actions = (states @ message > 0).astype(int)
            states, _, fallen, in_time, _ = self.environments.step(actions)
            standing &= ~(fallen | in_time)
        return np.stack(seen)


def mean_steps(seen):
    """How long the poles stood, given their states (steps, environments, 4)."""
    return np.isfinite(seen[:, :, 0]).sum(axis=0).mean()


def main():
    random = np.random.default_rng(0)
    best, longest, length_bytes = np.zeros(4), 0.0, 0
    with Simulator.pool().executor(seed=0) as pool, tqdm(total=POLICIES, desc="search") as bar:
        while bar.n < POLICIES:
            # A few policies near the best so far; then the next ones.
            policies = best + random.normal(size=(2 * len(pool), 4))
            for policy, seen in zip(policies, pool.imap(policies), strict=True):
                length_bytes += seen.nbytes
                if mean_steps(seen) > longest:
                    best, longest = policy, mean_steps(seen)
                bar.set_postfix(longest=longest)
                bar.update()
    print(f"{bar.n} policies, {length_bytes / 1e6:.1f} MB of states")
    print(f"the best keeps its poles up for {longest:.0f} of 500 steps")


if __name__ == "__main__":
    main()
