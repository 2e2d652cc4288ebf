"""Neurons, layers and networks built from autodiff's nodes, and what it takes to train them.

* neurons of Values: Neuron, Layer, MLP; ``vectorize`` makes arrays of them
* modules: Module, Sequential, ModuleList, ModuleDict; to look into them ``summary`` and ``trace``
* layers of Tensors: Linear, Conv2d, MaxPool2d, AvgPool2d, RNN, GRU, LSTM, Embedding, BatchNorm1d, LayerNorm, Dropout,
  Flatten, Identity
* activations: ReLU, LeakyReLU, ELU, SELU, GELU, SiLU, Sigmoid, LogSigmoid, Tanh, Arctan, Softplus, Softsign, Softmax,
  LogSoftmax, Step; Activation makes one of a function
* losses: MSELoss, L1Loss, HuberLoss, Chi2Loss, BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, NLLLoss, LogisticLoss,
  HingeLoss, KLDivLoss; as functions, with penalties, in ``nn.functional``
* optimizers: SGD, Adagrad, Adadelta, RMSprop, Adam, AdamW, Adamax, NAdam, LBFGS, GradientDescent; clip_grad_norm_,
  clip_grad_value_; rates over time in ``nn.schedules``, with ``attach``, ReduceLROnPlateau and ``lr_scan``
* data: TensorDataset, Subset, DataLoader, random_split, train_test_split, standardize; load_iris, load_digits,
  load_mnist, load_fashion_mnist; small sets to learn with in ``nn.toys``
* training: ``fit`` and ``evaluate``, with metrics (Accuracy, TopKAccuracy, ConfusionMatrix, Precision, Recall, F1, R2)
  and callbacks (EarlyStopping, ModelCheckpoint, CSVLogger, TensorBoardLogger, GradientFlow, TerminateOnNaN,
  LambdaCallback)
* files: ``save`` and ``load``
* starting values in ``nn.init``; scikit-learn's estimators, if that is installed, in ``nn.sklearn``
"""

import importlib as _importlib
import typing as _typing

from . import functional as functional
from . import init as init
from . import schedules as schedules
from . import toys as toys
from .activations import (
    ELU,
    GELU,
    SELU,
    Activation,
    Arctan,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Step,
    Tanh,
)
from .callbacks import Callback, CSVLogger, EarlyStopping, History, LambdaCallback, ModelCheckpoint, Run, TerminateOnNaN
from .containers import ModuleDict, ModuleList, Sequential
from .conv import AvgPool2d, Conv2d, MaxPool2d
from .data import (
    DataLoader,
    Subset,
    TensorDataset,
    collate,
    load_digits,
    load_iris,
    random_split,
    standardize,
    train_test_split,
)
from .layers import Dropout, Embedding, Flatten, Identity, Linear
from .losses import (
    BCELoss,
    BCEWithLogitsLoss,
    Chi2Loss,
    CrossEntropyLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LogisticLoss,
    MSELoss,
    NLLLoss,
)
from .metrics import F1, R2, Accuracy, ConfusionMatrix, Metric, Precision, Recall, TopKAccuracy
from .mnist import ImageData, load_fashion_mnist, load_mnist, read_idx
from .module import Hook, LoadedKeys, Module, StateDictError
from .normalization import BatchNorm1d, LayerNorm
from .optim import (
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    GradientDescent,
    NAdam,
    Optimizer,
    RMSprop,
    clip_grad_norm_,
    clip_grad_value_,
)
from .recorders import GradientFlow, TensorBoardLogger
from .recurrent import GRU, LSTM, RNN
from .saving import LoadError, Saved, load, save
from .scalar import MLP, Layer, Neuron, vectorize
from .schedules import ReduceLROnPlateau, attach, lr_scan
from .summary import Flow, Summary, SummaryRow, summary, trace
from .train import evaluate, fit

__all__ = [
    "ELU",
    "F1",
    "GELU",
    "GRU",
    "LBFGS",
    "LSTM",
    "MLP",
    "R2",
    "RNN",
    "SELU",
    "SGD",
    "Accuracy",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Arctan",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "CSVLogger",
    "Callback",
    "Chi2Loss",
    "ConfusionMatrix",
    "Conv2d",
    "CrossEntropyLoss",
    "DataLoader",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "Flatten",
    "Flow",
    "GradientDescent",
    "GradientFlow",
    "HingeLoss",
    "History",
    "Hook",
    "HuberLoss",
    "Identity",
    "ImageData",
    "KLDivLoss",
    "L1Loss",
    "LambdaCallback",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoadError",
    "LoadedKeys",
    "LogSigmoid",
    "LogSoftmax",
    "LogisticLoss",
    "MSELoss",
    "MaxPool2d",
    "Metric",
    "ModelCheckpoint",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NAdam",
    "NLLLoss",
    "Neuron",
    "Optimizer",
    "Precision",
    "RMSprop",
    "ReLU",
    "Recall",
    "ReduceLROnPlateau",
    "Run",
    "Saved",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "StateDictError",
    "Step",
    "Subset",
    "Summary",
    "SummaryRow",
    "Tanh",
    "TensorBoardLogger",
    "TensorDataset",
    "TerminateOnNaN",
    "TopKAccuracy",
    "attach",
    "clip_grad_norm_",
    "clip_grad_value_",
    "collate",
    "evaluate",
    "fit",
    "load",
    "load_digits",
    "load_fashion_mnist",
    "load_iris",
    "load_mnist",
    "lr_scan",
    "random_split",
    "read_idx",
    "save",
    "standardize",
    "summary",
    "trace",
    "train_test_split",
    "vectorize",
]


if not _typing.TYPE_CHECKING:  # a type checker shall go on to find names that do not exist

    def __getattr__(name: str) -> object:
        """``nn.sklearn``, which is imported when it is first asked for: scikit-learn is an extra."""
        if name == "sklearn":
            return _importlib.import_module("nn.sklearn")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
