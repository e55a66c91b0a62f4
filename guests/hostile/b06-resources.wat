;; Makes resources of its own without end.
;;@frame event
;;@lower
(type $thing (resource (rep i32)))
(core func $new-thing (canon resource.new $thing))
;;@core-import
(import "things" "new" (func $new (param i32) (result i32)))
;;@core-with
(with "things" (instance (export "new" (func $new-thing))))
;;@handle
(loop $more (drop (call $new (i32.const 7))) (br $more))
