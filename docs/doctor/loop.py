"""A training loop with the doctor beside it: handwritten digits, a small network, seconds.

Every page of the doctor shows its fault as a change of a few lines of this file. Run it as it is,
make a change, and run it again:

    python docs/doctor/loop.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fathom

torch.manual_seed(0)
digits = load_digits()
order = torch.randperm(1797)
images = torch.tensor(digits.images, dtype=torch.float32)[order, None] / 16
targets = torch.tensor(digits.target)[order]
images = (images - 0.305) / 0.376
train = TensorDataset(images[:1400], targets[:1400])
val = TensorDataset(images[1400:], targets[1400:])
train_loader = DataLoader(train, batch_size=32, shuffle=True, drop_last=True)
val_loader = DataLoader(val, batch_size=128)


def block(inputs, outputs):
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


model = nn.Sequential(
    *(block(1, 16), block(16, 32), nn.MaxPool2d(2)),
    *(block(32, 32), block(32, 32), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 10)),
)
epochs = 10
steps = epochs * len(train_loader)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
loss_of = nn.CrossEntropyLoss()
watch = fathom.watch(model, optimizer, train=train_loader, val=val_loader, every=10)

for epoch in range(epochs):
    model.train()
    for images, targets in train_loader:
        optimizer.zero_grad()
        loss = loss_of(model(images), targets)
        loss.backward()
        optimizer.step()
        schedule.step()
        watch.step(loss, targets)
    model.eval()
    with torch.no_grad():
        right = sum(int((model(x).argmax(1) == y).sum()) for x, y in val_loader)
    print(f"epoch {epoch}: loss {loss:.3f}, validation accuracy {right / len(val):.1%}")

print(watch.verdict())
