"""A few sentences and a tokenizer made of them: text for tiny models, without a download. Knows no model."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SENTENCES = ("the cat sat on the mat", "a dog ran in the park", "birds fly over the sea", "fish swim in the lake") * 2


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer of 300 tokens, the same on every call."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", padding_side="left")
