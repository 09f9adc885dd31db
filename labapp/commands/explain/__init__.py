"""Where does a net look in an image? `labapp explain` writes the maps, the numbers behind them and their scores.

    labapp explain RUN RUN --index 3 7 --methods gradcam layercam --checkpoints all --out looks
    labapp explain torchvision:resnet18 --image cat.jpg --layers layer3 layer4
    labapp explain mynets:make --weights net.safetensors --image-size 32 --image cat.jpg
    labapp explain RUN --index 3 --score 128

The folder then holds, for each image and method, a sheet of all nets and layers on one colour scale; each map as a
picture (maps/); maps.npz with the raw, signed maps; scores.csv, a row for each map. With several checkpoints drift.csv.
With --score also energy.csv (inside the mask, trained beside random weights, with intervals), agreement.csv and
sanity.csv.
"""

from labapp.commands.explain.command import explain

__all__ = ["explain"]
