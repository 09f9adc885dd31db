"""Which columns has each table that the lab's own diagnostics make?

What a function of `labapp.probes` adds to a diagnostic's table is among them, and what the lab adds to all is not.
"""

COLUMNS = {
    name: tuple(words.split())
    for name, words in {
        "architecture": "layer kind depth stage block shape parameters multiply_adds receptive_field jump",
        "stages": "stage channels height width stride",
        "growth": "step part block layer channels_in channels_new channels compression",
        "stacks": "stack layers kernel receptive_field weights activations",
        "accepted_sizes": "size accepted positions note",
        "feature_reuse": "weighting block source target kind value null null_deviation images",
        "reuse_observations": "weighting observation claim number threshold seen untrained null null_low null_high "
        "reason",
        "similarity": "layer kind depth relative_depth stage block features other_layer other_kind "
        "other_depth other_relative_depth other_stage other_block other_features cka low "
        "high images batches estimator note",
        "by_depth": "layer kind depth relative_depth stage block features images quantity value low high note",
        "neural_collapse": "quantity value low high note images split",
        "shattering": "layer kind depth relative_depth cosine deviation examples reason",
        "autocorrelation": "layer kind depth relative_depth lag distance autocorrelation points reason",
        "path_gradients": "length paths probability gradient_norm deviation weight sum_norm reason "
        "effective_length decay images",
        "loss_surface": "alpha beta loss accuracy images classes seed",
        "lesions": "lesion block other position loss accuracy loss_change accuracy_change reason images chance",
        "permutations": "swaps repeat kendall_tau loss accuracy reason loss_change accuracy_change images chance",
        "gradient_split": "stage block position blocks_to_end example shortcut_share shortcut_norm branch_norm "
        "cosine forward_error backward_error reason",
        "singular_values": "span block position blocks example largest smallest largest_error smallest_error",
        "level_gradients": "level stage gradient_norm through_lateral",
        "map_scores": "measure method net mean low high images note",
        "spatial_order": "layer positions repeats accuracy accuracy_permuted low high output_change "
        "decisions_changed note images",
    }.items()
}
