;; $random: how many bytes, and the address for where they are.
;;@import
(import "wasi:random/random@0.2.6" (instance $random
  (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
;;@lower
(core func $random-lowered (canon lower (func $random "get-random-bytes") (memory $mem) (realloc $realloc)))
;;@core-import
(import "random" "bytes" (func $random (param i64 i32)))
;;@core-with
(with "random" (instance (export "bytes" (func $random-lowered))))
