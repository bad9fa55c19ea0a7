#!/usr/bin/env bash
# The frontier (AP against GMAC) on the whole of COCO 2017, on the GPUs of one machine: fetch, pack, train, score, export.
#   runs/coco_full.sh OUT              all GPUs that nvidia-smi counts, or GPUS=1; 9 GB of photographs, 3 GB of packs
#   QUICK=1 runs/coco_full.sh OUT      the same steps in a minute, on a CPU, with a tiny network and drawn people
# What was finished is kept: the same command goes on. OUT/frontier.csv is the table, OUT/<model>/report.html the pages.
# Not yet run at full size. Peak rates were guessed from small runs.
set -euo pipefail
out=$1
read -ra sandglass <<<"${SANDGLASS:-sandglass}"
read -ra torchrun <<<"${TORCHRUN:-torchrun}"

# name, recipe, crop (width height, x the box), sigma in cells, stacks, channels, growth at each halving, peak rate; the
# last one is the reference. A tight crop helps coarse heatmaps, and cuts joints off, which costs good networks more.
# Sigma is about the same share of the person everywhere.
models=(
  "swift-1x64  swift   128 128 1.1  0.7 1  64 32  2.4e-2"
  "swift-1x128 swift   192 256 1.25 1.2 1 128 64  2.4e-2"
  "swift-2x160 swift   192 256 1.25 1.2 2 160 64  2.4e-2"
  "swift-4x256 swift   256 256 1.25 1.2 4 256  0  2.4e-2"
  "classic-2   classic 256 256 1.3  1.0 2 256  0  1e-3"
)
train=train2017 val=val2017 people=134214 epochs=100 batch=256 device=auto verify=200
if [[ -n ${QUICK:-} ]]; then
  models=("quick swift 64 64 1.1 0.7 1 8 0 1e-4") # hardly taught: three steps at more leave flat maps full of near ties
  train=train val=val people=12 epochs=1 batch=4 device=cpu gpus=1 verify=4
  [[ -d $out/coco ]] || "${sandglass[@]}" data draw --out "$out/coco" --people 12 --val-people 2
else
  gpus=${GPUS:-$(nvidia-smi --list-gpus | wc -l)}
  "${sandglass[@]}" data get coco --out "$out/coco"
fi
steps=$((people * epochs / batch))

echo "model,parameters,gmac,AP,low,high" >"$out/frontier.csv.part"
for model in "${models[@]}"; do
  read -r name recipe w h padding sigma stacks channels growth lr <<<"$model"
  run=$out/$name pack=$out/$recipe-$w-$h-$padding.pack
  [[ -e $pack ]] || "${sandglass[@]}" data pack "$out/coco@$train" --recipe "$recipe" --size "$w" "$h" \
    --set "model.padding=$padding" --encoding jpeg --out "$pack"
  if [[ ! -e $run/model.onnx ]]; then
    words=(train "$recipe" --data "$pack" --val "$out/coco@$val" --out "$run" --size "$w" "$h" --stacks "$stacks"
      --channels "$channels" --batch "$batch" --lr "$lr" --set "model.padding=$padding" "model.options.growth=$growth" \
      "model.codec.sigmas=[$sigma]")
    [[ ! -e $run/config.json ]] || words=(train --resume "$run")
    "${torchrun[@]}" --nproc_per_node "$gpus" --max-restarts 3 --rdzv-backend c10d --rdzv-endpoint localhost:0 \
      -m sandglass "${words[@]}" --steps "$steps" --device "$device"
    "${sandglass[@]}" report "$run" --device "$device"
    "${sandglass[@]}" export "$run/model.safetensors" --to onnx --out "$run/model.onnx" --people "$verify"
  fi
  "${PYTHON:-python}" - "$name" "$run" >>"$out/frontier.csv.part" <<'EOF'
import json, sys
from sandglass.models.checkpoint import load_checkpoint
from sandglass.models.zoo import cost
name, run = sys.argv[1:]
network, spec = load_checkpoint(f"{run}/model.safetensors")
price = cost(network, spec.codec.size)
scores = json.load(open(f"{run}/scores.json"))
print(name, price.parameters, round(price.gmac, 3), scores["AP"], *scores["intervals"]["AP"], sep=",")
EOF
done
mv "$out/frontier.csv.part" "$out/frontier.csv"
cat "$out/frontier.csv"
