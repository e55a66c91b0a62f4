;; $exit: 0 for success, 1 for failure.
;;@import
(import "wasi:cli/exit@0.2.6" (instance $exit (export "exit" (func (param "status" (result))))))
;;@lower
(core func $exit-lowered (canon lower (func $exit "exit")))
;;@core-import
(import "exit" "exit" (func $exit (param i32)))
;;@core-with
(with "exit" (instance (export "exit" (func $exit-lowered))))
