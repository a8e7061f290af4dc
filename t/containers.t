#!/usr/bin/perl
# The examples for containers: what Kubernetes is given is what its API takes (pod.schema.json) and what a pod of ours must say,
# nginx takes its configuration and so does the daemon, and all of them mean the same ports, folders and users. The schema is then
# tried on what is wrong: each field misspelt, and the faults that matter one by one. Images are not built here.
use Test2::V0;
use lib 't/lib';
use Battlepass::Site;
use Battlepass::Stack;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use JSON::PP ();
use JSON::Validator;
use Storable qw(dclone);
use YAML::PP;

my $source = $ENV{TEST_SRCDIR} // abs_path(dirname(__FILE__) . '/..');
my $build = $ENV{TEST_BUILDDIR} // "$source/build";
my $folder = "$source/examples/containers";
my $scratch = tempdir('battlepass-containers-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $s = Battlepass::Stack->shared;

sub slurp { my ($file) = @_; return Battlepass::Site::slurp($file) }

my @documents = YAML::PP->new(boolean => 'JSON::PP')->load_string(slurp("$folder/battlepass.yaml"));
my %kind = map { $_->{kind} => $_ } @documents;
my $validator = JSON::Validator->new->schema(JSON::PP->new->utf8->decode(slurp("$folder/pod.schema.json")));
my $pod = $kind{Deployment}{spec}{template}{spec};
my ($daemon) = @{ $pod->{initContainers} };
my ($nginx) = @{ $pod->{containers} };
my $main = slurp("$folder/nginx.conf") =~ s/^\s*#.*\n//mgr;
my $containerfile = slurp("$folder/Containerfile");

# --- the schema ---

sub is_refused {
    my ($document, $name) = @_;
    return ok(scalar $validator->validate($document), "$name is refused");
}

subtest 'what Kubernetes is given' => sub {
    is([ map { $_->{kind} } @documents ], [qw(ConfigMap Deployment Service NetworkPolicy PodDisruptionBudget)], 'five things');
    is([ map { "$_" } $validator->validate($_) ], [], $_->{kind}) for @documents;
};

# A pod with one fault each: the name, and what makes it.
my @mutants = (
    [ 'no limits', sub { my ($of) = @_; delete $of->{nginx}{resources}{limits} } ],
    [ 'no limit of memory', sub { my ($of) = @_; delete $of->{daemon}{resources}{limits}{memory} } ],
    [ 'no requests', sub { my ($of) = @_; delete $of->{daemon}{resources}{requests} } ],
    [ 'a limit that is a number', sub { my ($of) = @_; $of->{daemon}{resources}{limits}{cpu} = 1 } ],
    [ 'a unit that is none', sub { my ($of) = @_; $of->{daemon}{resources}{limits}{memory} = '384MB' } ],
    [ 'no liveness probe of the daemon', sub { my ($of) = @_; delete $of->{daemon}{livenessProbe} } ],
    [ 'no startup probe of the daemon', sub { my ($of) = @_; delete $of->{daemon}{startupProbe} } ],
    [ 'no liveness probe of nginx', sub { my ($of) = @_; delete $of->{nginx}{livenessProbe} } ],
    [ 'no readiness probe', sub { my ($of) = @_; delete $of->{nginx}{readinessProbe} } ],
    [ 'a probe of nothing', sub { my ($of) = @_; delete $of->{nginx}{readinessProbe}{httpGet} } ],
    [ 'a probe of two things', sub { my ($of) = @_; $of->{daemon}{livenessProbe}{exec} = { command => ['true'] } } ],
    [ 'a port that is text', sub { my ($of) = @_; $of->{nginx}{readinessProbe}{httpGet}{port} = '9180' } ],
    [ 'a port below 1024', sub { my ($of) = @_; $of->{nginx}{ports}[0]{containerPort} = 443 } ],
    [ 'no preStop', sub { my ($of) = @_; delete $of->{nginx}{lifecycle} } ],
    [ 'no grace', sub { my ($of) = @_; delete $of->{pod}{terminationGracePeriodSeconds} } ],
    [ 'a daemon that is not Always', sub { my ($of) = @_; delete $of->{daemon}{restartPolicy} } ],
    [ 'root', sub { my ($of) = @_; $of->{pod}{securityContext}{runAsUser} = 0 } ],
    [ 'root perhaps', sub { my ($of) = @_; delete $of->{pod}{securityContext}{runAsNonRoot} } ],
    [ 'a filesystem that is written to', sub { my ($of) = @_; $of->{nginx}{securityContext}{readOnlyRootFilesystem} = JSON::PP::false } ],
    [ 'privileges', sub { my ($of) = @_; $of->{nginx}{securityContext}{privileged} = JSON::PP::true } ],
    [ 'escalation', sub { my ($of) = @_; delete $of->{daemon}{securityContext}{allowPrivilegeEscalation} } ],
    [ 'capabilities', sub { my ($of) = @_; $of->{daemon}{securityContext}{capabilities}{add} = ['NET_ADMIN'] } ],
    [ 'an account of the cluster', sub { my ($of) = @_; $of->{pod}{automountServiceAccountToken} = JSON::PP::true } ],
    [ 'a volume without a size', sub { my ($of) = @_; delete $of->{pod}{volumes}[0]{emptyDir}{sizeLimit} } ],
    [ 'an image without a version', sub { my ($of) = @_; $of->{nginx}{image} = 'registry.example.com/battlepass-nginx' } ],
    [ 'the latest image', sub { my ($of) = @_; $of->{nginx}{image} = 'registry.example.com/battlepass-nginx:latest' } ],
    [ 'one replica', sub { my ($of) = @_; $of->{spec}{replicas} = 1 } ],
    [ 'another apiVersion', sub { my ($of) = @_; $of->{all}{apiVersion} = 'extensions/v1beta1' } ],
);

subtest 'what it is not' => sub {
    for my $mutant (@mutants) {
        my ($name, $break) = @$mutant;
        my $copy = dclone($kind{Deployment});
        my $inside = $copy->{spec}{template}{spec};
        $break->({ all => $copy, spec => $copy->{spec}, pod => $inside, daemon => $inside->{initContainers}[0], nginx => $inside->{containers}[0] });
        is_refused($copy, $name);
    }
};

# Names that we choose ourselves: any would do.
my %free = map { $_ => 1 } qw(data labels matchLabels);

# Calls code->(path, hash, key) for each field of a document.
sub each_field {
    my ($node, $path, $code) = @_;
    if (ref $node eq 'ARRAY') {
        each_field($node->[$_], "$path/$_", $code) for 0 .. $#$node;
    } elsif (ref $node eq 'HASH') {
        for my $key (sort keys %$node) {
            $code->("$path/$key", $node, $key);
            each_field($node->{$key}, "$path/$key", $code) unless $free{$key} || "$path/$key" eq 'Service/spec/selector';
        }
    }
    return;
}

subtest 'each field misspelt' => sub {
    for my $document (@documents) {
        my $copy = dclone($document);
        each_field($copy, $document->{kind}, sub {
            my ($path, $node, $key) = @_;
            $node->{"${key}s"} = delete $node->{$key};
            is_refused($copy, $path);
            $node->{$key} = delete $node->{"${key}s"};
        });
        is([ $validator->validate($copy) ], [], "$document->{kind} is whole again");
    }
};

# --- what belongs together ---

sub total {
    my ($what, $amount) = @_;
    my $sum = 0;
    $sum += $_->{resources}{$what}{$amount} =~ s/\D+\z//r for $daemon, $nginx;
    return $sum;
}

subtest 'resources of the pod' => sub {
    is(total(requests => 'cpu'), 100, 'requests: a tenth of a core');
    is(total(requests => 'memory'), 256, 'requests: 256 MiB');
    is(total(limits => 'cpu'), 200, 'limits: a fifth of a core');
    is(total(limits => 'memory'), 512, 'limits: 512 MiB');
};

subtest 'the end of a pod' => sub {
    my ($sleep) = $nginx->{lifecycle}{preStop}{exec}{command}[1];
    my ($quit) = $main =~ /^worker_shutdown_timeout (\d+)s;/m;
    my $daemon_seconds = 30; # README.md: a process that takes longer is killed
    like($containerfile, qr/^FROM \S+ AS nginx\n.*^STOPSIGNAL SIGQUIT$/ms, 'nginx is told to quit');
    like($containerfile, qr/^FROM \S+ AS battlepassd\n(?:(?!^FROM).)*^STOPSIGNAL SIGTERM$/ms, 'the daemon to stop');
    ok($pod->{terminationGracePeriodSeconds} >= $sleep + $quit + $daemon_seconds, 'there is time for all of it');
};

subtest 'folders, ports and users' => sub {
    my %volumes = map { $_->{name} => $_ } @{ $pod->{volumes} };
    my %mounts = map { my $of = $_; $of->{name} => { map { $_->{mountPath} => $volumes{ $_->{name} } } @{ $of->{volumeMounts} } } } $daemon, $nginx;
    is([ map { grep { !defined } values %{ $mounts{$_} } } sort keys %mounts ], [], 'each volume is there');
    is($mounts{$_}{'/run/battlepass'}{emptyDir}{medium}, 'Memory', "$_: the sockets are in memory") for sort keys %mounts;
    my ($run_dir) = slurp("$build/nginx/http.conf") =~ m{"unix:(.*)/read\.sock"};
    ok($mounts{battlepassd}{$run_dir}, 'where nginx looks for them');
    is([ grep { my $file = $_; !grep { index($file, "$_/") == 0 } keys %{ $mounts{nginx} } } $main =~ m{(/(?:etc|var)/[\w./-]+)}g ], [],
        'nginx has every folder that it names');

    my %ports = map { $_->{name} => $_->{containerPort} } @{ $nginx->{ports} };
    is([ sort $main =~ /^\t\tlisten (\d+)/mg ], [ sort values %ports ], 'nginx listens on the ports of its container');
    ok($ports{ $_->{targetPort} }, "the service leads to $_->{targetPort}") for @{ $kind{Service}{spec}{ports} };
    is($_->{httpGet}{port}, $ports{operators}, "a probe of $_->{httpGet}{path}") for grep { $_->{httpGet} } map { @$_{qw(livenessProbe readinessProbe)} } $daemon, $nginx;
    is([ map { $_->{ports}[0]{port} } @{ $kind{NetworkPolicy}{spec}{ingress} } ], [ @ports{qw(https operators)} ], 'the network policy knows both');
    ok($kind{NetworkPolicy}{spec}{ingress}[1]{from}, 'and who may ask the second');

    my @users = $containerfile =~ /^USER (\d+):(\d+)$/mg;
    is([ @users ], [ (@{ $pod->{securityContext} }{qw(runAsUser runAsGroup)}) x 2 ], 'the images have the user of the pod');
    my %labels = map { $_->{metadata}{labels}{app} // '' => 1 } @documents, $kind{Deployment}{spec}{template};
    is([ keys %labels ], ['battlepass'], 'one label');
};

subtest 'the images' => sub {
    my (undef, @stages) = split /^(?=FROM )/m, $containerfile;
    is([ map { /^FROM \S+ AS (\w+)$/m } @stages ], [qw(build battlepassd nginx)], 'three stages');
    my @copied = map { my @words = split ' '; @words[ 0 .. $#words - 1 ] } $containerfile =~ /^COPY (?!--from)(.*)$/mg;
    ok(@copied >= 4, 'what is copied was understood');
    is([ grep { !-e "$source/$_" } @copied ], [], 'all that is copied is in the source');

    my $installed = "$scratch/installed";
    is(system("make -s -C $build install DESTDIR=$installed prefix=/usr sysconfdir=/etc >$scratch/install.log 2>&1"), 0, 'make install') or diag slurp("$scratch/install.log");
    my @taken = $containerfile =~ m{^COPY --from=build /installed(\S+)}mg;
    ok(@taken >= 5, 'what is taken from the first stage was understood');
    is([ grep { !-e "$installed$_" } @taken ], [], 'all of it was installed');

    # Linked to directly; what they bring themselves comes with the packages.
    my %listed = map { $_ => 1 } $stages[1] =~ /\b((?:lib[a-z0-9.-]+|ca-certificates))\b/g;
    for my $program (qw(battlepassd battlepassctl)) {
        my @needed = map { /NEEDED +(\S+)/ ? $1 : () } qx(objdump -p $build/$program);
        ok(@needed > 3, "$program: what it is linked with was understood");
        my @owners = map { my ($owner) = qx(dpkg -S '*/$_' 2>/dev/null) =~ /^([^:]+):/; $owner // "nobody has $_" } grep { !/^(?:libc|libm|ld-linux)\b/ } @needed;
        is([ grep { !$listed{$_} && !/^(?:libc6|lib[a-z]+san\d+)$/ } @owners ], [], "$program: its libraries are in the image");
    }
};

# --- the configurations ---

subtest 'nginx' => sub {
    my $tls = Battlepass::Site::certificate($scratch, 'localhost');
    my ($port, $operators) = Battlepass::Site::free_ports(2);
    my $site = Battlepass::Site->new(
        files => { 'nginx.conf' => "$folder/nginx.conf", 'conf.d/battlepass.conf' => "$build/nginx/http.conf" },
        changes => [
            [ 'conf.d/battlepass.conf', qr{/run/battlepass/}, dirname($s->env->{MYSQL_SOCKET}) . '/' ],
            [ 'nginx.conf', qr/listen 8443/, "listen 127.0.0.1:$port" ],
            [ 'nginx.conf', qr/listen 9180/, "listen 127.0.0.1:$operators" ],
            [ 'nginx.conf', qr{/etc/battlepass-tls/tls\.crt}, $tls->{certificate} ],
            [ 'nginx.conf', qr{/etc/battlepass-tls/tls\.key}, $tls->{key} ],
            [ 'nginx.conf', qr{/var/lib/nginx}, $scratch ],
            # Only root may take another user, and root has to: the stack's sockets are root's then.
            [ 'nginx.conf', qr/\A/, $> == 0 ? "user root;\n" : '' ],
        ],
    );
    $site->write('snippets/battlepass/trusted.conf', $kind{ConfigMap}{data}{'trusted.conf'});
    my ($status, $said) = $site->check;
    is($status, 0, 'nginx -t') or diag $said;
    unlike($said, qr/\[(?:warn|error|emerg|alert)\]/, 'and no word more');
    $site->start($operators);
    my $code = sub { my ($options) = @_; return scalar qx(curl --silent --output /dev/null --write-out '%{http_code}' --cacert $tls->{certificate} $options) };
    is($code->("http://127.0.0.1:$operators$_->[0]"), $_->[1], "operators: $_->[0]") for [ '/nginx', 204 ], [ '/livez', 200 ], [ '/readyz', 200 ], [ '/metrics', 200 ], [ '/v1/seasons', 404 ];
    is($code->("https://localhost:$port$_->[0]"), $_->[1], "public: $_->[0]") for [ '/livez', 200 ], [ '/v1/seasons', 401 ], [ '/metrics', 404 ], [ '/nginx', 404 ];
    $site->stop;
};

subtest 'battlepassd' => sub {
    my $file = "$scratch/battlepass.conf";
    open my $out, '>', $file or die "$file: $!";
    print {$out} $kind{ConfigMap}{data}{'battlepass.conf'};
    close $out or die "$file: $!";
    # The servers and keys of the stack, in place of those of the cluster.
    my @here = map { "-o '$_'" } "store.socket=" . $s->env->{MYSQL_SOCKET}, "cache.socket=" . $s->env->{REDIS_SOCKET}, 'auth.keys=' . $s->dir . '/keys/set.json';
    my $said = qx($build/battlepassd -t -c $file @here 2>&1);
    is($?, 0, 'takes its configuration') or diag $said;
    my %sections = map { $_ => 1 } $kind{ConfigMap}{data}{'battlepass.conf'} =~ /^(\w+_lane) \{\n +processes = [1-9]/mg;
    is([ sort keys %sections ], [qw(admin_lane purchase_lane read_lane store_lane)], 'and says how many processes each lane has');
};

done_testing;
