r"""What does each number that is recorded while a net trains mean?

Below each name, in the form in which the app's page *Method* shows it; what holds of all of them comes first.

Everywhere:
    Batch norm: As in the training step itself, in training mode through the statistics of the batch; nothing is run
        again for the record.
    Sampling: All values of the whole batch, micro-batches and processes taken together, at recorded steps only; no
        value and no image is drawn. Tables hold float32.
    Processes: Reduced: sums of all processes, added up at each flush, so the number is that of their joined batch. A
        norm of gradients is of the mean of their losses.

weight_norm:
    Meaning: How large the layer's weights are before the step.
    Formula: $\lVert w \rVert_2$, over its weights; biases count only where a layer has nothing else.
    Source: Krogh & Hertz 1991, *A simple weight decay can improve generalization* (weight decay acts on it).
    Batch norm: Weights in front of a batch norm have no scale of their own: multiplied by any factor they give the same
        output, so there the norm says how large an update is in comparison, and nothing of the function.
    Fails: Norms of layers of different size cannot be compared; a weight that is computed (by a parametrisation) counts
        as it is computed.
    Processes: Reduced: the weights are the same in all processes; of sharded ones the squares of all shards are
        added up.

weight_grad_norm:
    Meaning: How strongly the loss pulls at the layer's weights.
    Formula: $\lVert \partial L / \partial w \rVert_2$, when the backward pass has ended, before any clipping, loss
        scale taken off.
    Source: Glorot & Bengio 2010, *Understanding the difficulty of training deep feedforward neural networks*, §4.
    Fails: NaN where no gradient reached the weights, or two forward passes cannot be told apart; it grows with the
        number of weights, so compare a layer with itself.
    Processes: Reduced: read when gradients have been averaged over the processes; of sharded ones all shards count.

update_ratio:
    Meaning: How far the optimizer moved the weights in this step, as a share of them.
    Formula: $\dfrac{\lVert \Delta w \rVert_2}{\lVert w \rVert_2}$, of the change that the optimizer really made.
    Source: A rule of thumb, around 10⁻³ a step at the full rate (Karpathy, *CS231n*, "Ratio of weights:updates").
    Fails: Goes with the learning rate, so judge it at the rate in force; momentum, weight decay and clipping are in it.
        NaN where the optimizer did not step.
    Processes: Reduced: the weights are the same in all processes; of sharded ones the squares of all shards are
        added up.

output_mean:
    Meaning: Around which value a layer's outputs lie.
    Formula: $\bar h = \frac{1}{n} \sum h$, over images, channels and positions.
    Source: Ioffe & Szegedy 2015, *Batch Normalization* (arXiv 1502.03167), §2.
    Batch norm: Behind a batch norm in training it is the mean of its shifts β, whatever comes in.
    Fails: Channels with means of opposite sign cancel.

output_std:
    Meaning: How strongly a layer responds, and whether the signal keeps its size from layer to layer.
    Formula: $\sqrt{\overline{h^2} - \bar h^2}$, over images, channels and positions (of the population).
    Source: He, Zhang, Ren & Sun 2015, *Deep Residual Learning* (arXiv 1512.03385), §4.2 and Fig. 7.
    Batch norm: Read behind it, before rectifier and addition, as in Fig. 7; with γ = 1 a batch norm makes it 1. Pages
        read it at the layer itself where the norm stands in front, or there is none.
    Fails: At a convolution and behind a norm it means different things, so such layers are not compared. It says
        nothing of how a response is spread over channels.

zero_fraction:
    Meaning: Which share of the values the rectifier behind the layer silences.
    Formula: $\#\{h \le 0\} \,/\, n$ at a place that feeds a rectifier, or is one.
    Source: Glorot, Bordes & Bengio 2011, *Deep Sparse Rectifier Neural Networks*, §3.
    Fails: Exists only where all h ≤ 0 give 0 (ReLU, ReLU6), not for GELU or leaky ReLU. NaN where h is NaN, which is
        neither above zero nor below.

dead_channels, dead_share:
    Meaning: How many channels say nothing at all in this batch, so that no gradient comes back through them.
    Formula: $\#\{c : h_c \le 0 \text{ for all images and positions}\}$, and the same over the number of channels.
    Source: Lu, Shin, Su & Karniadakis 2019, *Dying ReLU and Initialization* (arXiv 1903.06733).
    Fails: A channel that is silent in a small batch may speak in another; `lifetimes` tells the dead from the resting.
        NaN without a rectifier, or where the axis of channels cannot be told.
    Processes: Reduced: a channel lives where it is positive in any process.

output_grad_norm:
    Meaning: How much of the loss's gradient arrives at the layer's output: large at the last layer and small at the
        first, it vanishes on its way back; the other way round it explodes.
    Formula: $\lVert \partial L / \partial h \rVert_2$, over the whole batch, L the loss given to `backward`.
    Source: Glorot & Bengio 2010, §4; He et al. 2015 (arXiv 1512.03385), §4.1, for nets with batch norm.
    Batch norm: The gradient passes through the batch's statistics, so in front of a norm it sums to zero in each
        channel; a plain net with batch norm makes it grow by √(π/(π−1)) ≈ 1.21 a layer towards the input at the start.
    Fails: Goes with the loss and, of a mean loss, with 1/√batch size; compare layers of a run, or runs of equal batch.
        Where an output is used twice, both uses are in it.

nonfinite:
    Meaning: How many values of the outputs and their gradients are NaN or infinite.
    Formula: $\#\{h\} + \#\{\partial L / \partial h\}$ that are not finite.
    Source: IEEE 754-2019; no paper.
    Fails: An output that is infinite by design (masked scores) counts too; where a training went ill stands in the
        table `divergence`.

branch_norm, shortcut_norm, forward_ratio:
    Meaning: What a residual block adds, what its shortcut carries on, and one over the other: below 1 the block refines
        its input, above 1 it replaces it.
    Formula: $\lVert F(x) \rVert_2$, $\lVert s(x) \rVert_2$ and $\lVert F(x) \rVert_2 / \lVert s(x) \rVert_2$.
    Source: He et al. 2015 (arXiv 1512.03385), §4.2; Veit, Wilber & Belongie 2016 (arXiv 1605.06431).
    Fails: NaN where branch and shortcut cannot be told apart in the autograd graph, and for nets without blocks.

branch_grad_norm, shortcut_grad_norm, backward_ratio:
    Meaning: How much of the gradient at a block's input comes back through its branch and how much past it.
    Formula: $\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \left(1 + \frac{\partial F}{\partial
        x}\right)$, norms of the two parts, and the branch's over the shortcut's.
    Source: He, Zhang, Ren & Sun 2016, *Identity Mappings in Deep Residual Networks* (arXiv 1603.05027), eq. 5.
    Fails: The two parts may cancel, see the cosine between them. NaN where the paths cannot be told apart.

branch_shortcut_grad_cosine:
    Meaning: Whether the two parts of a block's gradient help or work against each other.
    Formula: $\frac{\langle g_F, g_s \rangle}{\lVert g_F \rVert \, \lVert g_s \rVert}$, of the whole batch as one
        vector.
    Source: He et al. 2016 (arXiv 1603.05027), eq. 5, whose bracket is 1 + ∂F/∂x.
    Fails: NaN where one part is zero or the paths cannot be told apart.

gradient_signal_to_noise:
    Meaning: Whether the micro-batches of a step agree on where the weights should go.
    Formula: $\dfrac{\lVert \bar g \rVert^2}{\sum_i \operatorname{Var} g_i}$, of K micro-batches' gradients, variance
        with K − 1.
    Source: McCandlish, Kaplan, Amodei et al. 2018, *An Empirical Model of Large-Batch Training* (arXiv 1812.06162), §2.
    Batch norm: Each micro-batch has statistics of its own.
    Sampling: The micro-batches of one step; with `--accumulate 1` there is nothing to compare, and it is NaN.
    Fails: Of few micro-batches the variance is itself uncertain, and it is of a micro-batch's size, not of an image.
    Processes: Local: taken by one process alone, and refused where several train together: gradients of micro-batches
        are averaged over the processes before anybody could compare them.

lifetimes:
    Meaning: When which channel died, and whether it came back.
    Formula: "died" when no h > 0 in the batch of a recorded step, "revived" when there is one again.
    Source: Lu et al. 2019 (arXiv 1903.06733); `dead_channels` says how many.
    Fails: Between two recorded steps nothing is known, so a channel that died and came back between them is not told.
    Processes: Reduced: a channel lives where it is positive in any process.

histograms:
    Meaning: Which sizes a layer's outputs and gradients have, over many powers of two.
    Formula: $\#\{x : 2^e \le |x| < 2^{e+1}\}$ for each exponent e.
    Source: Micikevicius et al. 2018, *Mixed Precision Training* (arXiv 1710.03740), Fig. 2 and 3.
    Fails: Signs are not in it; zero and subnormal values share a bin. Gradients are those that flow, with the loss
        scale.
    Processes: Reduced in number. Local in the size of gradients: those that flow in each process, whose loss is the
        mean of its own part, so of N processes they are N times those of the joined batch.

spreads:
    Meaning: Between which values a layer's outputs and gradients lie, and where their middle half is.
    Formula: Minimum, quartiles and maximum.
    Source: Tukey 1977, *Exploratory Data Analysis* (the five-number summary).
    Sampling: Minimum and maximum are of all values; quartiles of some thousands at even distances in memory, with an
        error in rank of about 0.8 %.
    Fails: Where neighbours in memory are alike over long distances, quartiles are less exact.
    Processes: Reduced: extremes of all processes, quartiles of samples that each of them takes of its own part.

divergence:
    Meaning: Where values that are not finite began: in a layer's output, on the way back, or in an update.
    Formula: Of each kind of value the first place, in the order of the step, after a step in which all was finite.
    Source: IEEE 754-2019 for what is not finite; the order is that of the step itself.
    Sampling: Steps that are recorded, and the step of the first loss that is not finite.
    Fails: Parallel branches have no order, and between recorded steps only the loss is looked at.
    Processes: Reduced in which layers; local in which came first, which the first process tells by its own part.

grad_norm, grad_norm_used:
    Meaning: How large the gradient of all parameters is together, before clipping and as the optimizer took it.
    Formula: $\lVert \partial L / \partial \theta \rVert_2$; clipping makes it $\min(\lVert g \rVert, c)$.
    Source: Pascanu, Mikolov & Bengio 2013, *On the difficulty of training recurrent neural networks*, Algorithm 1.
    Fails: The largest layer hides the others; NaN where some parameters were not seen.
    Processes: Reduced: read when gradients have been averaged over the processes; of sharded ones all shards count.

loss_scale, skipped:
    Meaning: What the loss was multiplied by so that small gradients survive half precision, and whether the step was
        left out.
    Formula: Gradients in all tables are divided by the scale; skipped is 1 where the optimizer did not step.
    Source: Micikevicius et al. 2018 (arXiv 1710.03740), §3.2.
    Fails: 1 and 0 in full precision, where there is no scaler.
    Processes: Local: of the first process; all scale alike.
"""
