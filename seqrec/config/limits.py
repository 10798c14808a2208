"""Largest values of settings: far beyond any use, and short of numbers that overflow or hang.

A setting of 2^63 is a slip of the keyboard or of a script. Refused when the recipe is read, it
costs nothing; accepted, it ends hours later in a full memory or in weights that are not numbers.
"""

MAX_ROWS = 2**20
"""Rows or histories handled at once: a batch of 10^6 one-item rows fills a large device."""
MAX_ITEMS = 1_000_000
"""Items of a history: no log holds users with more than some 10^5 interactions."""
MAX_LIST = 1_000
"""Items or steps that are looped over one by one for each history."""
MAX_WIDTH = 65_536
"""Units of a layer: four times those of the largest language models' hidden states."""
MAX_LAYERS = 512
"""Layers, heads or members: beyond it a step takes minutes for a model that cannot be served."""
MAX_EPOCHS = 1_000_000
"""Epochs or updates: at ten a second, a day."""
MAX_STEPS = 10**9
"""Optimizer steps: no run makes more, and schedules count them exactly."""
MAX_STORED = 10**12
"""Interactions held in memory: beyond it addresses end, and float64 still counts them."""
MAX_RATE = 100.0
"""Learning rates: AdamW moves every weight by about this much in a step."""
MAX_DECAY = 1_000.0
"""Weight decay: times a usual learning rate it is 1, which erases the weights in a step."""
MAX_FACTOR = 1e6
"""Factors of losses, logits and rewards: their products stay far below float32's 3e38."""
MAX_NORM = 1e12
"""Gradient norms, whose square float32 still holds; larger ones would clip nothing."""
MAX_PROCESSES = 1_024
"""Processes and threads on one run."""
MAX_SECONDS = 1e6
"""Waits: eleven days, which the operating system's timers hold."""
