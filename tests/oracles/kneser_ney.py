"""Kneser-Ney with dictionaries, symbol by symbol: what `evaluation.ngrams` has to agree with."""

import math
from collections import Counter, defaultdict

END, SYMBOLS = 256, 257


class SlowNgramModel:
    """Interpolated modified Kneser-Ney over bytes and the end of documents."""

    def __init__(self, train, order):
        self.order = order
        self.counts = [None] * (order + 1)  # by length: how often each n-gram came
        self.counts[order] = Counter(gram for _, gram in self._grams(train))
        for length in range(order - 1, 0, -1):  # how many different symbols stood before it
            before = defaultdict(set)
            for gram in self.counts[length + 1]:
                before[gram[1:]].add(gram[0])
            self.counts[length] = {gram: len(symbols) for gram, symbols in before.items()}
        self.discounts = [None, *map(self._discounts, self.counts[1:])]

    def _grams(self, documents):
        history = [END] * (self.order - 1)
        for document in documents:
            for symbol in [*document, END]:
                history.append(symbol)
                yield symbol, tuple(history[-self.order :])

    @staticmethod
    def _discounts(counts):
        n = Counter(min(count, 5) for count in counts.values())
        y = n[1] / (n[1] + 2 * n[2]) if n[1] else 0.5
        result = {}
        for count in (1, 2, 3):
            if n[count] and n[count + 1]:
                discount = count - (count + 1) * y * n[count + 1] / n[count]
            else:
                discount = 0.5
            result[count] = min(max(discount, 0.1), count - 0.1)
        return result

    def probability(self, gram):
        """Of the last symbol of an n-gram behind the others."""
        if not gram:
            return 1 / SYMBOLS
        shorter = self.probability(gram[1:])
        counts, discounts = self.counts[len(gram)], self.discounts[len(gram)]
        followers = {g: c for g, c in counts.items() if g[:-1] == gram[:-1]}
        total = sum(followers.values())
        if not total:
            return shorter
        own = 0.0
        if gram in followers:
            own = (followers[gram] - discounts[min(followers[gram], 3)]) / total
        left = sum(discounts[min(count, 3)] for count in followers.values()) / total
        return own + left * shorter

    def score(self, documents):
        """Nats of every symbol."""
        return [-math.log(self.probability(gram)) for _, gram in self._grams(documents)]
