;; Exports the handler's function with another type.
;;@frame event
;;@export
(core module $other-module (func (export "handle") (param i32)))
(core instance $other-module (instantiate $other-module))
(func $other (param "event" u32) (canon lift (core func $other-module "handle")))
(instance $other-handler (export "handle" (func $other)))
(export "guesthouse:handler/handler@0.1.0" (instance $other-handler))
