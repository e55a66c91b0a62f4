;; Imports randomness without having it granted.
;;@frame event
;;@import
(import "wasi:random/random@0.2.6" (instance (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
