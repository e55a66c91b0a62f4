;; Grows two memories in turn, each within the limit by itself.
;;@frame event
;;@lower
(core module $hoard
  (memory 1)
  (func (export "grow") (result i32) (memory.grow (i32.const 8))))
(core instance $hoard (instantiate $hoard))
;;@core-import
(import "hoard" "grow" (func $grow_other (result i32)))
;;@core-with
(with "hoard" (instance $hoard))
;;@handle
(loop $more
  (if (i32.eq (memory.grow (i32.const 8)) (i32.const -1)) (then unreachable))
  (if (i32.eq (call $grow_other) (i32.const -1)) (then unreachable))
  (br $more))
