#!/usr/bin/env bash
# Both recipes for the same wall-clock time, side by side, one thread each, on the same real photographs and with
# networks of the same cost: what is compared is the recipe. Then both are scored on coco@val.
#   runs/classic_vs_swift.sh PEOPLE OUT [MINUTES]     PEOPLE holds coco/, lspet/, lsp/ and mpii/ in the COCO layout
set -euo pipefail
people=$1 out=$2 minutes=${3:-50}
sandglass=${SANDGLASS:-sandglass}
export OMP_WAIT_POLICY=PASSIVE # two runs share the cores: waiting threads should sleep
common=(--data "$people/coco@train:2" "$people/lspet@train:0.5" "$people/lsp@train" "$people/mpii@train"
  --val "$people/coco@val" --minutes "$minutes" --threads 1 --workers 1 --seed 0)
$sandglass train swift "${common[@]}" --out "$out/swift" >"$out.swift.log" 2>&1 &
$sandglass train classic --stacks 1 --channels 64 --size 128 128 "${common[@]}" --out "$out/classic" >"$out.classic.log" 2>&1 &
wait
for recipe in swift classic; do
  $sandglass evaluate "$out/$recipe/last.safetensors" --data "$people/coco@val" --protocol coco-gt --out "$out/$recipe/coco-val"
done
