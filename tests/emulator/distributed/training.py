"""Models divided over two processes in each of PyTorch's ways: losses and gradients must be those of one process."""

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

from tests.emulator.distributed.checks import RANK, WORLD, Check

STEPS, BATCH, LENGTH, VOCABULARY = 5, 4, 9, 16
MINE = slice(RANK * BATCH // WORLD, (RANK + 1) * BATCH // WORLD)


class Encoder(nn.Module):
    """Plain PyTorch: embedding, two encoder layers, head."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True) for _ in range(2))
        self.head = nn.Linear(16, VOCABULARY)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next token."""
        hidden = self.embedding(tokens)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(hidden)


class Llama(nn.Module):
    """The same size from Hugging Face, with grouped queries and tied embeddings."""

    def __init__(self) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        super().__init__()
        self.model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
                num_key_value_heads=2, max_position_embeddings=LENGTH, tie_word_embeddings=True,
            )
        )  # fmt: skip
        self.layers = self.model.model.layers

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of the next token."""
        return self.model(tokens).logits


def replicated(model: nn.Module) -> nn.Module:
    """Return the model as DDP trains it."""
    return DistributedDataParallel(model, device_ids=[RANK])


def sharded(model: nn.Module) -> nn.Module:
    """Return the model as FSDP2 trains it, layer by layer."""
    mesh = init_device_mesh("npu", (WORLD,))
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def losses(make: type[nn.Module], wrap: Callable[[nn.Module], nn.Module], rows: slice) -> Tensor:
    """Train a new model on these rows of each batch; return the loss of each step."""
    torch.manual_seed(0)
    model = wrap(make().npu())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = []
    for _ in range(STEPS):
        tokens = ((torch.randint(0, VOCABULARY, (BATCH, 1)) + torch.arange(LENGTH)) % VOCABULARY)[rows].npu()
        loss = nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.detach())
    return torch.stack(found)


def agree(make: type[nn.Module], wrap: Callable[[nn.Module], nn.Module]) -> None:
    """Assert that the mean loss of the ranks, each with its rows, is the loss of one process with all rows, and that it falls."""
    alone = losses(make, lambda model: model, slice(None)).cpu()
    together = losses(make, wrap, MINE)
    dist.all_reduce(together, dist.ReduceOp.AVG)
    torch.testing.assert_close(together.cpu(), alone, rtol=0, atol=1e-6)
    assert alone[-1] < alone[0] - 0.1
    print(f"{make.__name__} {wrap.__name__}: {(together.cpu() - alone).abs().max():.1e} of {alone[-1]:.3f}\n", end="", flush=True)


def layers() -> nn.Sequential:
    """Return the same layers in every rank."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)).npu()


def whole_gradients(given: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return loss and gradients of the layers in one process."""
    model = layers()
    loss = model(given).square().mean()
    loss.backward()
    return loss.detach().cpu(), [parameter.grad.cpu() for parameter in model.parameters()]


def close(found: Tensor, expected: Tensor) -> None:
    """Assert equality up to the order of a sum."""
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-6, atol=1e-7)


def tensor_parallel() -> None:
    """One matrix is divided by columns, the next by rows."""
    given = torch.arange(32.0).sin().view(4, 8).npu()
    expected, gradients = whole_gradients(given)
    model = parallelize_module(layers(), init_device_mesh("npu", (WORLD,)), {"0": ColwiseParallel(), "2": RowwiseParallel()})
    loss = model(given).square().mean()
    loss.backward()
    close(loss.detach(), expected)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        close(parameter.grad.full_tensor(), gradient)


def pipeline() -> None:
    """The first rank has the first layer, the second the rest; two microbatches."""
    given = torch.arange(32.0).sin().view(4, 8).npu()
    expected, gradients = whole_gradients(given)
    model = layers()
    stage = PipelineStage(model[:1] if RANK == 0 else model[1:], RANK, WORLD, torch.device("npu", RANK))
    schedule = ScheduleGPipe(stage, 2, loss_fn=lambda output, target: (output - target).square().mean())
    if RANK == 0:
        schedule.step(given)
        mine, gradients = model[:1], gradients[:2]
    else:
        found: list[Tensor] = []
        schedule.step(target=torch.zeros_like(given), losses=found)
        close(torch.stack(found).mean().detach(), expected)
        mine, gradients = model[1:], gradients[2:]
    for parameter, gradient in zip(mine.parameters(), gradients, strict=True):
        close(parameter.grad, gradient)


CHECKS: dict[str, Check] = {
    "tensor_parallel": tensor_parallel,
    "pipeline": pipeline,
    "ddp": lambda: agree(Encoder, replicated),
    "fsdp2": lambda: agree(Encoder, sharded),
    "ddp_llama": lambda: agree(Llama, replicated),
    "fsdp2_llama": lambda: agree(Llama, sharded),
}
