"""List the titles and captions of a report's figures, in the page's order."""

FIGURES: dict[str, tuple[str, str]] = {
    "model": (
        "The model",
        "From tokens to scores: each part with the shape of its weights and its parameters, and on "
        "the arrows the shape of its output for a text of T tokens.",
    ),
    "funnel": (
        "Cleaning",
        "The text that each step of cleaning kept and, paler, what it dropped; then the parts of "
        "the split. Steps that changed nothing are left out.",
    ),
    "curves": ("Training", "Loss on train and val, and the learning rate, by step."),
    "dynamics": (
        "Inside the training",
        "Of each layer's attention (solid) and feed-forward network (dashed) and of the embedding: "
        "the gradient's norm before clipping, and the size of a step over that of the weights. "
        "In the lowest panel, the root mean square of the activations after each layer (dotted).",
    ),
    "calibration": (
        "Calibration",
        "How often the likeliest token was the next one, by the probability that the model gave "
        "it. Below the dotted line a model is too sure of itself.",
    ),
    "context": (
        "Use of context",
        "Loss of a token, by the number of tokens that the model saw before it.",
    ),
    "embeddings": (
        "Token embeddings",
        "The commonest tokens that are text, on the first two principal components of their "
        "pretrained embeddings, and the share of the variance that each explains. After "
        "fine-tuning, a line leads to each token from where it was before.",
    ),
    "attention": (
        "Attention",
        "Which earlier tokens (columns) each token (rows) looks at, in every layer and head of the "
        "last model, or in six of each, evenly chosen, where there are more than six.",
    ),
    "frequencies": ("Token frequencies", "How often the k-th most common token occurs in train."),
}

PROVENANCE = (
    "Provenance",
    "What was made from what, down to this page. Arrows that others imply are left out.",
)
