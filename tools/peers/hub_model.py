"""keras-hub's GPT-2 of a given size, and a start token."""

import keras_hub


def hub_model(size, max_sites):
    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=size["num_symbols"] + 1,
        num_layers=size["num_layers"],
        num_heads=size["num_heads"],
        hidden_dim=size["units"],
        intermediate_dim=4 * size["units"],
        dropout=0.0,
        max_sequence_length=max_sites,
    )
    return keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
